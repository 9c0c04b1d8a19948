"""The model of the cloud day: prices and taxes as the contracts promise them."""

import pytest

from devnet.cloud_day import BANK, OPERATOR, Finding, Model


@pytest.mark.parametrize(("net", "total"), [(0, 0), (3, 3), (10, 12), (299, 344), (20, 23)])
def test_what_one_pays_the_other_gets_with_fifteen_percent_rounded_half_up(net: int, total: int) -> None:
    model = Model({OPERATOR: 500, BANK: 500})
    model.pay(BANK, net)
    assert model.deposits == {OPERATOR: 500 + total, BANK: 500 - total}


def test_a_finding_holds_when_chain_and_model_agree() -> None:
    assert Finding("sum", 5, 5).holds
    assert not Finding("sum", 5, 6).holds
