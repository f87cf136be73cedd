import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeCpio } from '../../src/host/images/formats/cpio.ts'
import type { CpioEntry } from '../../src/host/images/formats/cpio.ts'

/** Programs of this computer that the guest gets, beside BusyBox's. */
const PROGRAMS = ['qemu-ga', 'find', 'tar']

const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s
mount -t devtmpfs devtmpfs /dev
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mkdir -p /run /dev/virtio-ports /root
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
for module in virtio_pci virtio_console virtio_balloon virtio_rng; do modprobe $module; done
for port in /sys/class/virtio-ports/*; do
  [ -e $port/name ] && ln -s ../\${port##*/} /dev/virtio-ports/$(cat $port/name)
done
echo agent-starts
qemu-ga -p /dev/virtio-ports/org.qemu.guest_agent.0 -t /run
poweroff -f
`

/** Why this computer's agent cannot run in a guest, or undefined. Says so in a line, for tests that skip then. */
export function agentUnavailable(): string | undefined {
  const missing = process.arch !== 'x64' || process.platform !== 'linux' ? 'this is no Linux for x86-64'
    : spawnSync('qemu-ga', ['--version']).status === 0 ? undefined : 'there is no qemu-ga (Debian: qemu-guest-agent)'
  if (missing !== undefined) process.stderr.write(`skipped: the guest agent in a guest: ${missing}\n`)
  return missing
}

/** The initramfs of the image busybox with this computer's qemu-ga in it, which its first process starts: for `rdinit=/agent-init`. */
export function agentInitrd(initrd: Uint8Array): Uint8Array {
  const programs = PROGRAMS.map(name => execFileSync('sh', ['-c', 'command -v "$1"', 'sh', name]).toString().trim())
  const libraries = programs.flatMap(path => [...execFileSync('ldd', [path]).toString().matchAll(/(?:=> |\t)(\/\S+)/g)].map(([, library]) => library))
  const files: CpioEntry[] = [
    ...[...new Set(libraries)].map(path => file(path.slice(1), readFileSync(path))),
    ...programs.map((path, index) => file(`usr/local/bin/${PROGRAMS[index]}`, readFileSync(path))),
    file('agent-init', Buffer.from(INIT)),
  ]
  // The kernel unpacks one archive after the other; each starts at a multiple of 4 bytes.
  return Buffer.concat([initrd, Buffer.alloc((4 - initrd.length % 4) % 4), writeCpio([...foldersOf(files), ...files])])
}

function file(path: string, data: Uint8Array): CpioEntry { return { path, kind: 'file', permissions: 0o755, data } }

function foldersOf(files: readonly CpioEntry[]): CpioEntry[] {
  const folders = files.flatMap(({ path }) => path.split('/').slice(0, -1).map((_, depth) => path.split('/').slice(0, depth + 1).join('/')))
  return [...new Set(folders)].sort().map(path => ({ path, kind: 'directory', permissions: 0o755 }))
}
