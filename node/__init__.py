"""The node: from vocabulary (primitives) up to wiring (app). Packages meet in `app` and `network` only.

Who may import whom stands in README and is checked by import-linter. An error's root type says whose fault it
is (primitives.errors), and whoever catches it acts by that.
"""
