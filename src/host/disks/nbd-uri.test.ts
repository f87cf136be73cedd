import { describe, expect, test } from 'vitest'
import { formatNbdUri, isNbdUri, type NbdLocation, parseNbdUri } from './nbd-uri.ts'

const tcp = (host: string, port: number, exportName: string): NbdLocation => ({ address: { kind: 'tcp', host, port }, exportName })
const unix = (path: string, exportName: string): NbdLocation => ({ address: { kind: 'unix', path }, exportName })

describe('an NBD URI', () => {
  test.each<[string, NbdLocation]>([
    ['nbd://localhost', tcp('localhost', 10809, '')],
    ['nbd://localhost/', tcp('localhost', 10809, '')],
    ['NBD://disks.example:1234/debian', tcp('disks.example', 1234, 'debian')],
    ['nbd://[::1]:99/a/b', tcp('::1', 99, 'a/b')],
    ['nbd://10.0.0.1/%2Fetc%20x', tcp('10.0.0.1', 10809, '/etc x')],
    ['nbd+unix:///?socket=/run/nbd.sock', unix('/run/nbd.sock', '')],
    ['nbd+unix:///disk?socket=/run/a+b%20c', unix('/run/a+b c', 'disk')],
  ])('%s', (uri, location) => {
    expect(isNbdUri(uri)).toBe(true)
    expect(parseNbdUri(uri)).toEqual(location)
    expect(parseNbdUri(formatNbdUri(location))).toEqual(location)
  })

  test.each([
    ['nbd:localhost:1', 'DISK_DESCRIPTION_INVALID'], ['nbd://', 'DISK_DESCRIPTION_INVALID'], ['nbd://host:0/', 'DISK_DESCRIPTION_INVALID'],
    ['nbd://host:65536/', 'DISK_DESCRIPTION_INVALID'], ['nbd://host:x/', 'DISK_DESCRIPTION_INVALID'], ['nbd://user@host/', 'DISK_DESCRIPTION_INVALID'],
    ['nbd://::1/', 'DISK_DESCRIPTION_INVALID'], ['nbd://host/%zz', 'DISK_DESCRIPTION_INVALID'], ['nbd://host/?socket=/x', 'DISK_DESCRIPTION_INVALID'],
    ['nbd+unix:///x', 'DISK_DESCRIPTION_INVALID'], ['nbd+unix://host/x?socket=/y', 'DISK_DESCRIPTION_INVALID'],
    ['nbd+unix:///x?socket=', 'DISK_DESCRIPTION_INVALID'], ['nbd+unix:///x?socket=a&socket=b', 'DISK_DESCRIPTION_INVALID'],
    ['nbd+unix:///x?socket=%00', 'DISK_DESCRIPTION_INVALID'], ['http://host/', 'DISK_DESCRIPTION_INVALID'],
    ['nbds://host/', 'DISK_UNSUPPORTED'], ['nbd+vsock://2/', 'DISK_UNSUPPORTED'],
  ])('%s is refused', (uri, code) => {
    expect(() => parseNbdUri(uri)).toThrow(expect.objectContaining({ code }))
    expect(() => parseNbdUri(uri)).toThrow(uri)
  })
})
