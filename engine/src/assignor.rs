//! Which member carries how much under the group's own assignor.
