"""What operators see: log lines, numbers, and whether the node is well.

- `logs`: one event, one line. Everyone else writes `log = logging.getLogger(__name__)` and puts values in
  `extra`; only the command line configures where the lines go.
- `metrics`: every number the node publishes, on one page.
- `health`: live, ready, and why not; `listener` serves both over HTTP.
- `loop_delay`: how late timers fire, which is how late a seal can be.

Knows nothing of the node: whoever wires it hands in functions that read a value. Decisions never log or
count.
"""
