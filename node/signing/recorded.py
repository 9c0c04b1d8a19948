"""A guarded key whose every use is in the audit log."""

from node.audit.records import Fact, Kind
from node.audit.trail import AuditTrail
from node.primitives.ids import Address, hex_of
from node.signing.signer import Signer, SigningError, SigningRequest


class RecordedSigner:
    """Notes what was signed and what was not. A full audit log never stops the chain: a loss is an alarm."""

    def __init__(self, signer: Signer, trail: AuditTrail) -> None:
        self._signer = signer
        self._trail = trail

    @property
    def address(self) -> Address:
        """Whose signatures these are."""
        return self._signer.address

    async def sign(self, request: SigningRequest) -> bytes:
        """See the port."""
        facts: dict[str, Fact] = {
            "key": hex_of(self.address),
            "what": request.kind,
            "height": request.height,
            "round": request.round_number,
            "digest": hex_of(request.digest),
        }
        try:
            signature = await self._signer.sign(request)
        except SigningError as error:
            self._trail.note(Kind.KEY_REFUSED, "local", facts | {"reason": str(error)})
            raise
        self._trail.note(Kind.KEY_USED, "local", facts)
        return signature
