"""Who may make a block, when, and how all come to the same one. Pure: no clock, chance, socket, disk or log.

Two faces:
- `rules.SealRules` verifies what others sealed: live import, sync and the light client use the same rules.
- `engine.Engine` makes blocks: events in, ordered effects out.

Duties of whoever runs an engine (node.production.driver):
1. Feed events one at a time; do all effects of one event, in order, before the next event.
2. `PersistLock` has reached the disk before the next effect is begun.
3. `Sign` goes through the guarded signer; its answer comes back as `Signed` or `SigningRefused`.
4. `SealBlock` goes through the one door (node.chain.importer) and is durable before it is announced;
   the import comes back as `NewHead` like any other.
5. Timers fire once, by name; setting a name again replaces it, and `NewHead` does not clear it.
6. After a restart, a fresh engine gets `NewHead` of the durable head first, then `LastSigned` if the guard
   has a record: a block that was signed is published, as the guard may refuse every other until it is known.
7. `Proposed` may raise a RequestError for the operator; anything else that `handle` raises, but a ChainError,
   is our own fault.
"""
