/** Raised when old clients would not understand new answers, or the other way round. */
export const API_VERSION = 1
