import { TenonError } from '../../base/errors.ts'
import { readDeb } from '../../host/images/archive/deb.ts'
import { writeCpio } from '../../host/images/formats/cpio.ts'
import type { CpioEntry } from '../../host/images/formats/cpio.ts'
import type { Workload } from '../workloads.ts'
import { initScript } from './init-script.ts'

/** The guest that every target of one architecture boots: Debian's kernel, and BusyBox with the workloads as an initramfs. */
export interface BenchImage {
  readonly kernel: Uint8Array
  readonly initrd: Uint8Array
  /** As `uname -r` gives it. */
  readonly kernelRelease: string
}

export interface BenchParts {
  /** Debian's packages. */
  readonly kernel: Uint8Array
  readonly busybox: Uint8Array
  /** The program of the loops, where there is one. */
  readonly loops?: Uint8Array
}

/** Makes the image from its parts. Without modules: the workloads need none. */
export async function buildBenchImage(parts: BenchParts, workloads: readonly Workload[]): Promise<BenchImage> {
  const kernel = await findFile(parts.kernel, 'linux-image', /^boot\/vmlinuz-([\w.+~-]+)$/)
  const busybox = await findBusybox(parts.busybox)
  const init = new TextEncoder().encode(initScript(workloads))
  return { kernel: kernel.data, initrd: writeCpio(fileTree(busybox, init, parts.loops)), kernelRelease: kernel.match[1] }
}

/** The first file of a package whose path matches. */
export async function findFile(deb: Uint8Array, name: string, pattern: RegExp): Promise<{ data: Uint8Array, match: RegExpExecArray }> {
  for await (const { path, type, data } of readDeb(deb, name, each => pattern.test(each))) {
    const match = pattern.exec(path)
    if (type === 'file' && match !== null) return { data, match }
  }
  throw new TenonError('BENCH_PACKAGE_UNFIT', `the package ${name} has no file ${pattern}: Debian has changed it, update Tenon`)
}

/** An initramfs of BusyBox and a script of ours alone, for guests that have all else on a disk. */
export async function buildInitrd(busyboxPackage: Uint8Array, init: string): Promise<Uint8Array> {
  const busybox = await findBusybox(busyboxPackage)
  return writeCpio(fileTree(busybox, new TextEncoder().encode(init), undefined))
}

async function findBusybox(deb: Uint8Array): Promise<Uint8Array> {
  return (await findFile(deb, 'busybox-static', /^(?:usr\/)?bin\/busybox$/)).data
}

const DIRECTORIES = ['bin', 'dev', 'proc', 'sbin', 'tmp', 'usr', 'usr/bin', 'usr/sbin']

function fileTree(busybox: Uint8Array, init: Uint8Array, loops: Uint8Array | undefined): CpioEntry[] {
  return [
    ...DIRECTORIES.map(path => ({ path, kind: 'directory', permissions: 0o755 } as const)),
    { path: 'dev/console', kind: 'character-device', permissions: 0o600, device: { major: 5, minor: 1 } },
    { path: 'dev/null', kind: 'character-device', permissions: 0o666, device: { major: 1, minor: 3 } },
    { path: 'dev/zero', kind: 'character-device', permissions: 0o666, device: { major: 1, minor: 5 } },
    { path: 'bin/busybox', kind: 'file', permissions: 0o755, data: busybox },
    ...loops === undefined ? [] : [{ path: 'usr/bin/loops', kind: 'file', permissions: 0o755, data: loops } as const],
    { path: 'init', kind: 'file', permissions: 0o755, data: init },
  ]
}
