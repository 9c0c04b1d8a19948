// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.20;

/// @title A day's work for a client library: struct arguments, events, every kind of refusal.
contract Desk {
    struct Line {
        string item;
        uint256 amount;
    }

    struct Order {
        address customer;
        Line[] lines;
    }

    /// @notice Orders taken so far; in slot 0.
    uint256 public orders;

    mapping(uint256 number => Order) private _orders;

    event OrderTaken(address indexed customer, uint256 indexed number, uint256 amount);

    /// @notice Nothing was ordered.
    error EmptyOrder(address customer, uint256 number);

    /// @notice Takes an order; its number is the count of orders before it.
    function take(Order calldata order) external payable returns (uint256 number) {
        number = orders;
        if (order.lines.length == 0) revert EmptyOrder(order.customer, number);
        require(order.customer != address(0), "Desk: no customer");
        Order storage kept = _orders[number];
        kept.customer = order.customer;
        uint256 amount;
        for (uint256 i = 0; i < order.lines.length; i++) {
            kept.lines.push(order.lines[i]);
            amount += order.lines[i].amount;
        }
        orders = number + 1;
        emit OrderTaken(order.customer, number, amount);
    }

    /// @notice An order as it was taken.
    function read(uint256 number) external view returns (Order memory order) {
        return _orders[number];
    }

    /// @notice Panics with code 0x12 when `parts` is zero.
    function share(uint256 amount, uint256 parts) external pure returns (uint256 part) {
        return amount / parts;
    }

    /// @notice What the code may know of its block.
    function here() external view returns (uint256 number, uint256 time, uint256 fee, address sealer, uint256 chain) {
        return (block.number, block.timestamp, block.basefee, block.coinbase, block.chainid);
    }

    /// @notice Never ends by itself.
    function spin() external pure {
        while (true) {}
    }
}
