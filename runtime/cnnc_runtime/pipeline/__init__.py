"""The stages of `cnnc run`: names -> tasks -> items -> results -> journal -> output, each ahead of the next.

`names` says which files were meant, `tasks` what is to be decoded in them (`video` and `parquet` for theirs),
`stream` lets decoding, inference and the reader of the results overlap, `journal` keeps what is finished.
"""
