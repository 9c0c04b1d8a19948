"""Keys that refuse to betray us.

`signer` is the port; `keystore` and `passwords` bring a key into memory, `pkcs11` uses one in a hardware
token on `one_thread` (`token_keys` makes and destroys them, `known_token` remembers whose they are), `remote`
asks another process for its seals, and `opening` chooses by settings. `guard` keeps in `guard_rows` what each
key signed and lets nothing out that contradicts it; `guard_exchange` moves that to another machine.

The other process is `phoenix signer serve`: `service_settings` and `service` decide who may have what signed,
`serving` holds what is in force and takes up changes, `service_edit` makes them, `service_observe` shows its
numbers, `service_listener` talks to clients under mutual TLS, `clique_payload` is how a header travels,
`lease` gives a key to one of several nodes at a time (`lease_watch` is the node's side); on one machine
`exclusive` does.

A key is changed by `rotation`, step by step, where `key_places` says it lies; `doctor` says what is unsafe.

Duties of the callers:
1. The driver holds a `Signer`, never a bare key; SigningError is its answer "not signed", with the reason.
2. `SigningRequest.attachment` holds the encoded unsealed block. After a restart the driver asks
   `GuardedSigner.last(kind)`: a record above the head is a block that was signed and perhaps sent but never
   imported here. It is finished from the attachment and the signature, because the guard will refuse every
   other block in its place.
3. Guard rows are never deleted, and reach another machine by `guard_exchange` only, after the key has ceased
   to sign where it was.
4. In front of a remote signer there are two guards, and either may know more than the other. What is asked is
   an intent on our disk before it is asked: after a lost answer the same is asked again, and only that. So
   `last` may tell of a signature that came to light only when another request was refused: the driver looks
   there after every refusal.
"""
