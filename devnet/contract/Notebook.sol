// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.20;

/// @title What `python -m devnet up` deploys and calls to see that the network works.
/// @notice Pages are written once and belong to their author: storage, events, reads and refusals in one place.
contract Notebook {
    struct Page {
        address author;
        string text;
    }

    /// @notice Pages written so far.
    uint256 public pagesWritten;

    mapping(uint256 number => Page) private _pages;

    event PageWritten(address indexed author, uint256 indexed number, string text);

    /// @notice The page has been written already.
    error PageTaken(uint256 number, address author);

    /// @notice Writes a page that nobody has written yet; reverts with PageTaken, or when the text is empty.
    function write(uint256 number, string calldata text) external {
        require(bytes(text).length != 0, "Notebook: empty page");
        Page storage page = _pages[number];
        if (page.author != address(0)) revert PageTaken(number, page.author);
        page.author = msg.sender;
        page.text = text;
        pagesWritten += 1;
        emit PageWritten(msg.sender, number, text);
    }

    /// @notice The author and text of a page; zero and empty when it has not been written.
    function read(uint256 number) external view returns (address author, string memory text) {
        Page storage page = _pages[number];
        return (page.author, page.text);
    }
}
