// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Merkle tree of quantities
/// @notice Each node commits to the sum of the quantities below it, so a root proves its total: no record can be left
/// out of the sum, or counted in it twice, without its own proof failing. Shape as in RFC 9162; a leaf is
/// keccak256(0x00 || record || quantity), a node keccak256(0x01 || left || leftSum || right || rightSum), sums 16 bytes.
library UsageTree {
    /// @notice A node and the sum of quantities below it.
    struct Node {
        bytes32 hash;
        uint128 sum;
    }

    /// @notice The leaf of one record.
    function leafOf(bytes32 record, uint128 quantity) internal pure returns (Node memory) {
        return Node(keccak256(abi.encodePacked(bytes1(0x00), record, quantity)), quantity);
    }

    /// @notice Whether (`record`, `quantity`) stands at `index` in the tree of `size` leaves with this root and total.
    /// @param proof The siblings, from the leaf upwards.
    function includes(
        bytes32 root,
        uint128 total,
        uint256 size,
        bytes32 record,
        uint128 quantity,
        uint256 index,
        Node[] calldata proof
    ) internal pure returns (bool) {
        if (index >= size) return false;
        uint256 last = size - 1;
        Node memory node = leafOf(record, quantity);
        for (uint256 i = 0; i < proof.length; ++i) {
            if (last == 0) return false;
            // A sum that does not fit can belong to no total that does.
            if (proof[i].sum > type(uint128).max - node.sum) return false;
            if (index & 1 == 1 || index == last) {
                node = _nodeOf(proof[i], node);
                while (index & 1 == 0 && index != 0) {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                node = _nodeOf(node, proof[i]);
            }
            index >>= 1;
            last >>= 1;
        }
        return last == 0 && node.hash == root && node.sum == total;
    }

    function _nodeOf(Node memory left, Node memory right) private pure returns (Node memory) {
        return Node(
            keccak256(abi.encodePacked(bytes1(0x01), left.hash, left.sum, right.hash, right.sum)),
            left.sum + right.sum
        );
    }
}
