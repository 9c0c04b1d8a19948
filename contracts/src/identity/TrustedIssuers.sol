// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "../governance/Governed.sol";
import {ITrustedIssuers} from "./ITrustedIssuers.sol";

/// @title Trusted issuers
/// @notice See {ITrustedIssuers}. Trust is not handed on: a partner's partner counts for nothing.
contract TrustedIssuers is ITrustedIssuers, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.TrustedIssuers
    struct IssuersStorage {
        mapping(bytes32 region => address) stewards;
        mapping(bytes32 region => mapping(bytes32 schema => mapping(address issuer => uint64 until))) trusted;
        mapping(bytes32 region => mapping(bytes32 partner => mapping(bytes32 schema => uint64 until))) offers;
        mapping(bytes32 region => mapping(bytes32 schema => bytes32[])) partners;
    }

    bytes32 private constant STORAGE = 0xf1a171e7e1a042bc3241cded33ac274daff419a8d6f2d382a0cea1e5065da700;

    /// @notice The most partners of a region for one schema, ended ones that were not cleared included.
    uint256 public constant PARTNERS_MAX = 32;

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __Governed_init(authority);
    }

    /// @inheritdoc ITrustedIssuers
    function setSteward(bytes32 region, address steward) external restricted {
        if (region == 0) revert TrustedIssuersZero();
        _storage().stewards[region] = steward;
        emit StewardChanged(region, steward);
    }

    /// @inheritdoc ITrustedIssuers
    function trust(bytes32 region, bytes32 schema, address issuer, uint64 until) external whenNotPaused {
        _onlySteward(region);
        if (issuer == address(0) || schema == 0) revert TrustedIssuersZero();
        if (until <= block.timestamp) revert TrustedIssuersPast(until);
        _storage().trusted[region][schema][issuer] = until;
        emit IssuerTrusted(region, schema, issuer, until);
    }

    /// @inheritdoc ITrustedIssuers
    function distrust(bytes32 region, bytes32 schema, address issuer) external {
        _onlySteward(region);
        delete _storage().trusted[region][schema][issuer];
        emit IssuerDistrusted(region, schema, issuer);
    }

    /// @inheritdoc ITrustedIssuers
    function federate(bytes32 region, bytes32 partner, bytes32 schema, uint64 until) external whenNotPaused {
        IssuersStorage storage $ = _storage();
        _onlySteward(region);
        if (region == partner) revert TrustedIssuersSameRegion(region);
        if (until <= block.timestamp) revert TrustedIssuersPast(until);
        bool before = $.offers[region][partner][schema] != 0 && federatedUntil(region, partner, schema) != 0;
        $.offers[region][partner][schema] = until;
        emit FederationOffered(region, partner, schema, until);
        if ($.offers[partner][region][schema] == until) {
            _join($, region, partner, schema);
            _join($, partner, region, schema);
            emit FederationAgreed(region, partner, schema, until);
        } else if (before) {
            // Other terms than those agreed on: until the partner takes them, there is no agreement.
            emit FederationEnded(region, partner, schema, msg.sender);
        }
    }

    /// @inheritdoc ITrustedIssuers
    function endFederation(bytes32 region, bytes32 partner, bytes32 schema) external {
        IssuersStorage storage $ = _storage();
        if (msg.sender != $.stewards[region] && msg.sender != $.stewards[partner]) {
            revert TrustedIssuersNotSteward(region, msg.sender);
        }
        if ($.offers[region][partner][schema] == 0 && $.offers[partner][region][schema] == 0) {
            revert TrustedIssuersNoAgreement(region, partner, schema);
        }
        delete $.offers[region][partner][schema];
        delete $.offers[partner][region][schema];
        _part($.partners[region][schema], partner);
        _part($.partners[partner][schema], region);
        emit FederationEnded(region, partner, schema, msg.sender);
    }

    /// @inheritdoc ITrustedIssuers
    function isTrusted(bytes32 region, bytes32 schema, address issuer) external view returns (bool) {
        IssuersStorage storage $ = _storage();
        if (block.timestamp < $.trusted[region][schema][issuer]) return true;
        bytes32[] storage partners = $.partners[region][schema];
        for (uint256 i = 0; i < partners.length; ++i) {
            bytes32 partner = partners[i];
            bool honoured = block.timestamp < federatedUntil(region, partner, schema);
            if (honoured && block.timestamp < $.trusted[partner][schema][issuer]) return true;
        }
        return false;
    }

    /// @inheritdoc ITrustedIssuers
    function federatedUntil(bytes32 region, bytes32 partner, bytes32 schema) public view returns (uint64) {
        IssuersStorage storage $ = _storage();
        uint64 until = $.offers[region][partner][schema];
        return until == $.offers[partner][region][schema] ? until : 0;
    }

    /// @inheritdoc ITrustedIssuers
    function stewardOf(bytes32 region) external view returns (address) {
        return _storage().stewards[region];
    }

    function _onlySteward(bytes32 region) private view {
        if (msg.sender != _storage().stewards[region]) revert TrustedIssuersNotSteward(region, msg.sender);
    }

    function _join(IssuersStorage storage $, bytes32 region, bytes32 partner, bytes32 schema) private {
        bytes32[] storage list = $.partners[region][schema];
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] == partner) return;
        }
        if (list.length == PARTNERS_MAX) revert TrustedIssuersTooManyPartners(region, PARTNERS_MAX);
        list.push(partner);
    }

    function _part(bytes32[] storage list, bytes32 gone) private {
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] == gone) {
                list[i] = list[list.length - 1];
                list.pop();
                return;
            }
        }
    }

    function _storage() private pure returns (IssuersStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
