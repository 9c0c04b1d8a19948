"""The Solidity suite and the Python that serves it.

`build` compiles src/ into artifacts/ and bindings/, `deploy` puts it on a chain, `binding` is what a regional
service calls it through. Callers of `build` need Node.js; nobody else does.
"""
