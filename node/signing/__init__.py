"""Keys that refuse to betray us.

`signer` is the port; `keystore` and `passwords` bring a key into memory, `pkcs11` uses one in a hardware
token on `one_thread`, and `opening` chooses by settings; `guard` keeps in `guard_rows` what each key signed
and lets nothing out that contradicts it.

Duties of the callers:
1. The driver holds a `Signer`, never a bare key; SigningError is its answer "not signed", with the reason.
2. `SigningRequest.attachment` holds the encoded unsealed block. After a restart the driver asks
   `GuardedSigner.last(kind)`: a record above the head is a block that was signed and perhaps sent but never
   imported here. It is finished from the attachment and the signature, because the guard will refuse every
   other block in its place.
3. Guard rows are never deleted, copied to another node or restored from a backup while the key still signs
   elsewhere.
"""
