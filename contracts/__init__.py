"""(docstring: why this package exists and the duties of its callers)"""
