"""What operators see of a signer: how often it signed and refused, how old its keys are, what is wrong."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from node.audit.log import AuditLog
from node.observability.health import Health
from node.primitives.ids import hex_of
from node.signing.serving import Serving


class SignerNumbers(Collector):
    """Read at each scrape: keys come and go."""

    def __init__(self, serving: Serving, unix_time: Callable[[], float] = time.time) -> None:
        self._serving = serving
        self._unix_time = unix_time
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def exposition(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Under the names that a node has them, one series per key."""
        refusals = GaugeMetricFamily(
            _named("guard_refusals"), "Signatures that the guard refused.", labels=["key"]
        )
        age = GaugeMetricFamily(
            _named("signing_key_age_seconds"), "Since the key came to this guard.", labels=["key"]
        )
        can_sign = GaugeMetricFamily(
            _named("signer_key_ready"), "1 while nothing keeps the key from signing, else 0.", labels=["key"]
        )
        problems = self._serving.problems()
        for signer in self._serving.signers():
            can_sign.add_metric([hex_of(signer.address)], int(signer.address not in problems))
            refusals.add_metric([hex_of(signer.address)], signer.refusals)
            since = signer.in_use_since()
            age.add_metric([hex_of(signer.address)], max(0.0, self._unix_time() - since))
        answers = CounterMetricFamily(
            _named("signer_answers"), "Requests for a signature, by what became of them.", labels=["outcome"]
        )
        for outcome, count in sorted(self._serving.outcomes.items()):
            answers.add_metric([outcome], count)
        ready = GaugeMetricFamily(
            _named("signer_ready"),
            "1 while settings and certificate are in order, else 0.",
            int(not self._problem()),
        )
        expires = GaugeMetricFamily(
            _named("signer_certificate_expires_timestamp"),
            "Unix time at which the signer's certificate ends.",
            self._serving.expires_at,
        )
        yield from (refusals, age, can_sign, answers, ready, expires)
        trail = self._serving.trail
        if isinstance(trail, AuditLog):
            for name, text, value in (
                ("audit_records", "Number of the newest record.", trail.head.number),
                ("audit_bytes", "Size of the audit log on the disk.", trail.bytes_total),
                ("audit_lost_records", "Records that could not be written.", trail.statistics.lost),
            ):
                yield GaugeMetricFamily(_named(name), text, value)

    def health(self) -> Health:
        """Ready while its settings are in force, its certificate is valid and a key can sign."""
        return Health(ready=[self._problem], notices=[self._keys_away, self._audit])

    def _audit(self) -> str | None:
        trail = self._serving.trail
        return trail.problem if isinstance(trail, AuditLog) else None

    def _keys_away(self) -> str | None:
        problems = self._serving.problems()
        return "; ".join(f"{hex_of(key)} signs nothing: {why}" for key, why in problems.items()) or None

    def _problem(self) -> str | None:
        if self._serving.problem is not None:
            return f"the settings and TLS files were not taken up, the former stay: {self._serving.problem}"
        if self._serving.expires_at <= self._unix_time():
            return f"the signer's certificate has run out; renew {self._serving.settings.tls_certificate}"
        if self._serving.signers() and len(self._serving.problems()) == len(self._serving.signers()):
            return f"no key can sign: {self._keys_away()}"
        return None


def _named(name: str) -> str:
    return f"phoenix_{name}"
