"""A model of the state that is too simple to be wrong, shared by the tests of node.state."""
