const HOSTNAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i

/** Whether a text is a host name (RFC 1123 §2.1), with its domain or not. */
export function isHostname(text: string): boolean { return HOSTNAME.test(text) }
