// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {AccessManagedUpgradeable} from "@openzeppelin/contracts-upgradeable/access/manager/AccessManagedUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";

/// @title What every governed contract has: roles from one authority, upgrades by the board, a pause that ends
/// @notice A guardian's pause ends by itself, and cannot be renewed before as long again has passed: a guardian can
/// win the board time, and cannot take the ledger away from it.
abstract contract Governed is AccessManagedUpgradeable, UUPSUpgradeable {
    /// @custom:storage-location erc7201:phoenix.storage.Governed
    struct GovernedStorage {
        uint64 pausedUntil; // seconds
        uint64 pausableFrom; // seconds; when the guardian may pause again
    }

    bytes32 private constant GOVERNED = 0x55f9df7b0b9cbad5c6df1cf951304cc93acbf6cab0a233bbc64743949cb2d800;

    /// @notice How long a guardian's pause lasts, in seconds.
    uint64 public constant GUARDIAN_PAUSE = 3 days;

    error GovernedPaused(uint64 until);
    error GovernedNotPaused();
    error GovernedPauseTooSoon(uint64 from);

    event PausedUntil(uint64 until, address indexed by);
    event PauseLifted(address indexed by);

    modifier whenNotPaused() {
        if (paused()) revert GovernedPaused(_governed().pausedUntil);
        _;
    }

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Stop what can be stopped for GUARDIAN_PAUSE seconds. GUARDIAN only.
    function pause() external restricted {
        GovernedStorage storage $ = _governed();
        if (block.timestamp < $.pausableFrom) revert GovernedPauseTooSoon($.pausableFrom);
        $.pausedUntil = uint64(block.timestamp) + GUARDIAN_PAUSE;
        $.pausableFrom = $.pausedUntil + GUARDIAN_PAUSE;
        emit PausedUntil($.pausedUntil, msg.sender);
    }

    /// @notice Go on before the pause ends by itself. BOARD only.
    function unpause() external restricted {
        if (!paused()) revert GovernedNotPaused();
        _governed().pausedUntil = 0;
        emit PauseLifted(msg.sender);
    }

    /// @notice Whether a pause is in force.
    function paused() public view returns (bool) {
        return block.timestamp < _governed().pausedUntil;
    }

    /// @dev Called by each contract's `initialize`.
    function __Governed_init(address authority) internal onlyInitializing {
        __AccessManaged_init(authority);
        __UUPSUpgradeable_init();
    }

    /// @dev Upgrades come through the authority only: the board's timelock.
    function _authorizeUpgrade(address) internal override restricted {}

    function _governed() private pure returns (GovernedStorage storage $) {
        assembly {
            $.slot := GOVERNED
        }
    }
}
