"""What the pool may take: the short answer is the long one without its words."""

from itertools import product

import pytest

from node.permissioning.allowlist import AllowList, ListedAccount
from node.permissioning.policy import Right, sending_of
from node.primitives.ids import Address
from tests.execution.builders import KEY, NOBODY, key_of, signed

RIGHTS = [
    frozenset(right for right, has in zip(Right, picked, strict=True) if has)
    for picked in product((0, 1), repeat=3)
]


@pytest.mark.parametrize("rights", RIGHTS, ids=lambda rights: "+".join(sorted(each.value for each in rights)))
@pytest.mark.parametrize("to", [None, NOBODY])
def test_the_short_answer_is_the_long_one(rights: frozenset[Right], to: Address | None) -> None:
    listed = ListedAccount(address=KEY.address, organisation="operator", rights=rights)
    file = AllowList(accounts={KEY.address: listed})
    for value, data in product((0, 1), (b"", b"\x00")):
        tx = signed(KEY, to=to, value=value, data=data)
        assert file.allows(tx) == file.send(sending_of(tx)).allowed


@pytest.mark.parametrize("accounts", [None, {}])
def test_a_file_without_accounts_allows_all_and_one_with_none_of_them_nobody(
    accounts: dict[Address, ListedAccount] | None,
) -> None:
    tx, file = signed(key_of(3)), AllowList(accounts=accounts)
    assert file.allows(tx) == file.send(sending_of(tx)).allowed == (accounts is None)
