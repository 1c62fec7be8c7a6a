//! Tables for this room.
