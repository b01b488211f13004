"""The optional library in C++ (`native/`): the same results as numpy and torch give, faster."""
