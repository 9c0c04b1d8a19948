"""The methods, one file per namespace (eth in parts): read the parameters, ask a back end, encode the answer.

Every file offers `methods(...) -> list[Method]`; `table.py` puts them together. A handler knows no connection
and no thread: `Where` in its Method says where it runs, and what it is called with.
"""
