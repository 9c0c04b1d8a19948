"""JSON-RPC 2.0 over HTTP and WebSocket on one port, for any back end that offers the ports in `backend.py`.

From the outside in: `server` (sockets, HTTP, who may ask) and `websocket` -> `app` (which method, which
thread, how long) -> `methods` (parameters, answers) -> `backend` (ports). Beside them: `workers`
(threads), `subscriptions` and `filters` (who is told of what), `budget` (what all clients together may
hold). `jsonrpc`, `params`, `encoding`, `logs` and `http1` are pure. `api.RpcApi` puts it together; the
caller gives it a `Backend` and runs `server.serve_rpc`.

Duties of the caller: settings' limits are final, nothing is checked again behind them; storage is closed only
after `serve_rpc` has returned, because worker threads may still be reading.
"""
