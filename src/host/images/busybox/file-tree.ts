import type { CpioEntry } from '../formats/cpio.ts'
import { DHCP_SCRIPT, INIT_SCRIPT, INITTAB, NETWORK_SCRIPT, SESSION_SCRIPT } from './init-script.ts'

const DIRECTORIES = [
  'bin', 'dev', 'etc', 'lib', 'lib/tenon', 'lib/tenon/dev', 'mnt', 'proc', 'root', 'run', 'sbin', 'sys', 'tmp', 'usr', 'usr/bin', 'usr/sbin', 'var',
  'var/log',
]

const FILES: Readonly<Record<string, string>> = {
  'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  'etc/hostname': 'tenon\n',
  'etc/hosts': '127.0.0.1 localhost tenon\n::1 localhost\n',
  'etc/inittab': INITTAB,
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  'etc/profile': 'export PS1=\'\\u@\\h:\\w\\$ \'\n',
  'etc/shells': '/bin/sh\n',
}

/** What a devtmpfs does not have, for init to copy there. */
const DEVICE_LINKS: Readonly<Record<string, string>> = {
  'lib/tenon/dev/fd': '/proc/self/fd',
  'lib/tenon/dev/stderr': '/proc/self/fd/2',
  'lib/tenon/dev/stdin': '/proc/self/fd/0',
  'lib/tenon/dev/stdout': '/proc/self/fd/1',
}

const PROGRAMS: Readonly<Record<string, string>> = { init: INIT_SCRIPT, 'lib/tenon/session': SESSION_SCRIPT, 'lib/tenon/network': NETWORK_SCRIPT, 'lib/tenon/dhcp': DHCP_SCRIPT }

/** What the initramfs holds beside Debian's files, parents first. BusyBox itself makes the links to its applets as the guest starts. */
export function baseFileTree(): CpioEntry[] {
  return [
    ...DIRECTORIES.map(path => ({ path, kind: 'directory', permissions: path === 'root' ? 0o700 : 0o755 } as const)),
    // The kernel opens it for init before there is a devtmpfs.
    { path: 'dev/console', kind: 'character-device', permissions: 0o600, device: { major: 5, minor: 1 } },
    ...textFiles(FILES, 0o644),
    ...textFiles(PROGRAMS, 0o755),
    ...symbolicLinks({ 'bin/sh': 'busybox', ...DEVICE_LINKS }),
  ]
}

function textFiles(files: Readonly<Record<string, string>>, permissions: number): CpioEntry[] {
  return Object.entries(files).map(([path, text]) => ({ path, kind: 'file', permissions, data: utf8(text) }))
}

function symbolicLinks(links: Readonly<Record<string, string>>): CpioEntry[] {
  return Object.entries(links).map(([path, target]) => ({ path, kind: 'symlink', permissions: 0o777, data: utf8(target) }))
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
