import { storageError } from '../../storage/errors.ts'

/** Where an NBD server listens. */
export type NbdAddress =
  | { readonly kind: 'tcp', readonly host: string, readonly port: number }
  | { readonly kind: 'unix', readonly path: string }

export interface NbdLocation {
  readonly address: NbdAddress
  /** The name of the export; "" is the server's default. */
  readonly exportName: string
}

/** The port that IANA has registered for NBD. */
export const NBD_PORT = 10809

/** Whether a name of a disk is meant for `parseNbdUri`. */
export function isNbdUri(text: string): boolean { return /^nbds?(?:\+\w+)?:/i.test(text) }

/**
 * Reads `nbd://host:port/name` and `nbd+unix:///name?socket=path` (NetworkBlockDevice/nbd, doc/uri.md). Throws DISK_UNSUPPORTED for TLS
 * and vsock, DISK_DESCRIPTION_INVALID for what is no address.
 */
export function parseNbdUri(uri: string): NbdLocation {
  const parts = /^([a-z+]+):\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i.exec(uri)
  if (parts === null) throw invalid(uri, 'it is not of the form nbd://host:port/name')
  const [, scheme, authority, name = '', query = ''] = parts
  const exportName = decode(uri, name)
  switch (scheme.toLowerCase()) {
    case 'nbd': return { address: tcpAddress(uri, authority, query), exportName }
    case 'nbd+unix': return { address: unixAddress(uri, authority, query), exportName }
    case 'nbds': case 'nbds+unix': throw unsupported(uri, 'TLS')
    case 'nbd+vsock': case 'nbds+vsock': throw unsupported(uri, 'vsock')
    default: throw invalid(uri, 'it starts with neither nbd:// nor nbd+unix://')
  }
}

/** The URI of a location, as `parseNbdUri` reads it. */
export function formatNbdUri({ address, exportName }: NbdLocation): string {
  const name = encodeURIComponent(exportName)
  if (address.kind === 'unix') return `nbd+unix:///${name}?socket=${encodeURIComponent(address.path).replaceAll('%2F', '/')}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `nbd://${host}:${address.port}/${name}`
}

function tcpAddress(uri: string, authority: string, query: string): NbdAddress {
  const parts = /^(?:\[([0-9a-f:.%]+)\]|([^:@[\]]+))(?::(\d{1,5}))?$/i.exec(authority)
  if (query !== '') throw invalid(uri, 'parameters after "?" are for nbd+unix only')
  if (authority.includes('@')) throw invalid(uri, 'a user name needs TLS, which is not supported: leave it out')
  if (parts === null) throw invalid(uri, 'host and port are not of the form host:port or [IPv6 address]:port')
  const port = parts[3] === undefined ? NBD_PORT : Number(parts[3])
  if (port < 1 || port > 65535) throw invalid(uri, `the port ${port} is not from 1 to 65535`)
  return { kind: 'tcp', host: parts[1] ?? decode(uri, parts[2]), port }
}

function unixAddress(uri: string, authority: string, query: string): NbdAddress {
  if (authority !== '') throw invalid(uri, 'there is a host name: write nbd+unix:/// with three slashes')
  const parameters = query.split('&').map(parameter => parameter.split('='))
  const sockets = parameters.filter(([key]) => key === 'socket')
  if (sockets.length !== 1 || parameters.length !== 1) throw invalid(uri, 'it needs ?socket=path, once, and nothing else after "?"')
  const path = decode(uri, sockets[0].slice(1).join('='))
  if (path === '' || path.includes('\0')) throw invalid(uri, 'the path after ?socket= is empty or has a NUL in it')
  return { kind: 'unix', path }
}

function decode(uri: string, text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(uri, `"${text}" is not percent-encoded as it should be`)
  }
}

function invalid(uri: string, why: string): Error { return storageError('DISK_DESCRIPTION_INVALID', `${uri} is no NBD address: ${why}`) }

function unsupported(uri: string, what: string): Error {
  return storageError('DISK_UNSUPPORTED', `${uri}: ${what} is not supported; use nbd:// or nbd+unix://, over a tunnel if need be`)
}
