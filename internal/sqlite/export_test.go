package sqlite

// OpenWith opens with other migrations than Berth's own.
var OpenWith = open
