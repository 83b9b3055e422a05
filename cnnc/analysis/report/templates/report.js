"use strict";
(() => {
  const root = document.documentElement;
  const KEY = "cnnc-report-theme";

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is off: the system's theme, then
    }
  }

  function remember(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // for this visit only
    }
  }

  const before = stored();
  if (before === "light" || before === "dark") root.dataset.theme = before;

  function setUpTheme() {
    const button = document.getElementById("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
    const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember(root.dataset.theme);
      label();
    });
    system.addEventListener("change", label);
    label();
    button.hidden = false;
  }

  function setUpTable() {
    const table = document.getElementById("layer-table");
    const { columns, values } = JSON.parse(document.getElementById("layer-data").textContent);
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const buttons = heads.map((head) => head.firstElementChild);
    const places = rows.map((_, index) => index);

    function compare(column, a, b, sign) {
      const [x, y] = [values[column][a], values[column][b]];
      const [xEmpty, yEmpty] = [x === null || x === "", y === null || y === ""];
      if (xEmpty || yEmpty) return xEmpty - yEmpty || a - b; // what is empty comes last, either way
      const order = columns[column].numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
      return sign * order || a - b;
    }

    function sort(index) {
      const isNumber = index > 0 && columns[index - 1].numeric;
      const was = heads[index].ariaSort;
      const now = was === "none" ? (isNumber ? "descending" : "ascending") : was === "ascending" ? "descending" : "ascending";
      const sign = now === "ascending" ? 1 : -1;
      const order = [...places].sort((a, b) => (index ? compare(index - 1, a, b, sign) : sign * (a - b)));
      heads.forEach((head) => { head.ariaSort = "none"; });
      heads[index].ariaSort = now;
      body.replaceChildren(...order.map((place) => rows[place]));
    }

    const filter = document.getElementById("filter");
    const kind = document.getElementById("kind");
    const keys = heads.map((head) => head.textContent);
    const column = (title) => values[keys.indexOf(title) - 1];
    const [names, ops, kinds] = [column("Layer"), column("Operator"), column("Kind")];
    const texts = places.map((place) => `${names[place]}\n${ops[place]}\n${kinds[place]}`.toLowerCase());
    const count = document.getElementById("count");

    function show() {
      const wanted = filter.value.trim().toLowerCase();
      let shown = 0;
      for (const place of places) {
        const fits = texts[place].includes(wanted) && (!kind.value || kinds[place] === kind.value);
        rows[place].hidden = !fits;
        shown += fits;
      }
      count.textContent = shown === rows.length ? `${shown} layers` : `${shown} of ${rows.length} layers`;
    }

    const human = new Map();
    function spell(exact) {
      columns.forEach((one, index) => {
        if (!one.exact) return;
        for (const place of places) {
          const cell = rows[place].cells[index + 1];
          if (!human.has(cell)) human.set(cell, cell.textContent);
          const value = values[index][place];
          cell.textContent = exact && human.get(cell) ? BigInt(value).toLocaleString("en-US") : human.get(cell);
        }
      });
    }

    buttons.forEach((button, index) => {
      button.disabled = false;
      button.addEventListener("click", () => sort(index));
    });
    filter.addEventListener("input", show);
    kind.addEventListener("change", show);
    document.getElementById("exact").addEventListener("change", (event) => spell(event.target.checked));
    document.querySelector(".controls").hidden = false;
    table.addEventListener("mouseover", ({ target }) => { // what is cut off shows in full
      if (target.scrollWidth > target.clientWidth && !target.title) target.title = target.textContent;
    });
  }

  let loading = null;
  function loadPlotly() {
    loading ??= (async () => {
      const packed = atob(document.getElementById("plotly").textContent);
      const bytes = new Uint8Array(packed.length);
      for (let index = 0; index < packed.length; index += 1) bytes[index] = packed.charCodeAt(index);
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      document.head.append(script);
      if (!window.Plotly) throw new Error("plotly did not start");
    })();
    return loading;
  }

  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: innerWidth < 640 ? false : "hover", // it would cover the legend
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
  };

  function draw(canvas) {
    if (canvas.dataset.drawn) return;
    canvas.dataset.drawn = "yes";
    const { data, layout } = JSON.parse(document.getElementById(canvas.id.replace("plot-", "data-")).textContent);
    if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false; // a finger scrolls the page
    window.Plotly.newPlot(canvas, data, layout, config);
  }

  function fail(canvas) {
    const note = document.createElement("p");
    note.className = "failed";
    note.textContent = "This browser cannot draw the plot; the figures are in the tables.";
    canvas.style.height = "auto";
    canvas.replaceChildren(note);
  }

  function setUpPlots() {
    const canvases = [...document.querySelectorAll(".canvas")];
    const observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        loadPlotly().then(() => draw(target)).catch(() => fail(target));
      }
    }, { rootMargin: "300px" });
    canvases.forEach((canvas) => observer.observe(canvas));
    const whenIdle = window.requestIdleCallback ?? ((run) => setTimeout(run, 500));
    addEventListener("load", () => whenIdle(() => loadPlotly().catch(() => {}))); // so that printing finds it there
    addEventListener("beforeprint", () => {
      if (!window.Plotly) return;
      for (const canvas of canvases) {
        draw(canvas);
        window.Plotly.relayout(canvas, { width: 980 }); // A4 across
      }
    });
    addEventListener("afterprint", () => {
      canvases.filter((canvas) => canvas.dataset.drawn).forEach((canvas) => {
        window.Plotly.relayout(canvas, { autosize: true, width: null });
      });
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    setUpTheme();
    setUpTable();
    setUpPlots();
  });
})();
