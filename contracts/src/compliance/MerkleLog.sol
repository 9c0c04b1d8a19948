// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Append-only Merkle log
/// @notice Inclusion and consistency proofs in the tree shape of RFC 9162 (Certificate Transparency 2.0), with
/// Keccak-256 instead of SHA-256. A leaf is keccak256(0x00 || entry), a node keccak256(0x01 || left || right), so
/// that a node can never be shown as a leaf.
library MerkleLog {
    /// @notice The leaf of one 32-byte entry hash.
    function leafOf(bytes32 entry) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x00), entry));
    }

    /// @notice The node above two others.
    function nodeOf(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @notice Whether `leaf` stands at `index` in the tree of `size` leaves with this `root`.
    /// @param proof The siblings, from the leaf upwards.
    function includes(bytes32 root, uint256 size, bytes32 leaf, uint256 index, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (index >= size) return false;
        uint256 last = size - 1;
        bytes32 hash = leaf;
        for (uint256 i = 0; i < proof.length; ++i) {
            if (last == 0) return false;
            if (index & 1 == 1 || index == last) {
                hash = nodeOf(proof[i], hash);
                (index, last) = _skipPromoted(index, last);
            } else {
                hash = nodeOf(hash, proof[i]);
            }
            index >>= 1;
            last >>= 1;
        }
        return last == 0 && hash == root;
    }

    /// @notice Whether the tree of `newSize` leaves begins with exactly the `oldSize` leaves under `oldRoot`.
    function extends(bytes32 oldRoot, uint256 oldSize, bytes32 newRoot, uint256 newSize, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (oldSize > newSize) return false;
        if (oldSize == newSize) return proof.length == 0 && oldRoot == newRoot;
        if (oldSize == 0) return proof.length == 0;
        uint256 index = oldSize - 1;
        uint256 last = newSize - 1;
        while (index & 1 == 1) {
            index >>= 1;
            last >>= 1;
        }
        // A whole subtree is its own first step: the proof leaves out what the verifier knows already.
        uint256 next = index == 0 ? 0 : 1;
        if (proof.length < next) return false;
        bytes32 oldHash = index == 0 ? oldRoot : proof[0];
        bytes32 newHash = oldHash;
        for (; next < proof.length; ++next) {
            if (last == 0) return false;
            if (index & 1 == 1 || index == last) {
                oldHash = nodeOf(proof[next], oldHash);
                newHash = nodeOf(proof[next], newHash);
                (index, last) = _skipPromoted(index, last);
            } else {
                newHash = nodeOf(newHash, proof[next]);
            }
            index >>= 1;
            last >>= 1;
        }
        return last == 0 && oldHash == oldRoot && newHash == newRoot;
    }

    /// @dev The last node of a level without a sibling moves up unchanged; pass the levels where it did.
    function _skipPromoted(uint256 index, uint256 last) private pure returns (uint256, uint256) {
        while (index & 1 == 0 && index != 0) {
            index >>= 1;
            last >>= 1;
        }
        return (index, last);
    }
}
