#!/bin/sh
# Chromium and its driver, which the tests of the HTML report steer; nothing to do where both are there.
set -eu
if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "the tests of the HTML report need chromium and chromedriver on the PATH: install them first" >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  as_root=
elif sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  echo "the tests of the HTML report need a browser: sudo apt-get install chromium chromium-driver" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
