import { hostError } from '../../errors.ts'
import { readDeb } from '../archive/deb.ts'
import { writeCpio } from '../formats/cpio.ts'
import type { CpioEntry } from '../formats/cpio.ts'
import { baseFileTree } from './file-tree.ts'
import { moduleTree, packModule } from './modules.ts'
import type { PackedModule } from './modules.ts'

/** What the image is made of: the packages' files as Debian has them. */
export interface BusyboxSources {
  readonly kernelPackage: Uint8Array
  readonly busyboxPackage: Uint8Array
}

export interface BuiltImage {
  /** The kernel's file as packaged, a bzImage. */
  readonly kernel: Uint8Array
  readonly initrd: Uint8Array
  /** As `uname -r` gives it. */
  readonly kernelRelease: string
}

/** Makes the image from its packages. The same packages give the same initramfs. Throws TenonError ARCHIVE_FORMAT_INVALID. */
export async function buildBusyboxImage({ kernelPackage, busyboxPackage }: BusyboxSources): Promise<BuiltImage> {
  const busybox = await readBusybox(busyboxPackage)
  const { kernel, release, modules, builtin } = await readKernel(kernelPackage)
  const tree: CpioEntry[] = [
    ...baseFileTree(),
    { path: 'bin/busybox', kind: 'file', permissions: 0o755, data: busybox },
    ...moduleTree(`lib/modules/${release}`, modules, builtin),
  ]
  return { kernel, initrd: writeCpio(withoutRepeats(tree)), kernelRelease: release }
}

async function readBusybox(deb: Uint8Array): Promise<Uint8Array> {
  for await (const { type, data } of readDeb(deb, 'busybox-static', path => /^(usr\/)?bin\/busybox$/.test(path))) {
    if (type === 'file') return data
  }
  throw incomplete('busybox-static', 'bin/busybox')
}

interface KernelFiles {
  readonly kernel: Uint8Array
  readonly release: string
  readonly modules: readonly PackedModule[]
  readonly builtin: Uint8Array
}

const MODULE_PATH = /^(?:usr\/)?lib\/modules\/[^/]+\/(kernel\/.+\.ko)$/
const BUILTIN_PATH = /^(?:usr\/)?lib\/modules\/[^/]+\/modules\.builtin$/
const MODULES_UNDER_WAY = 16
const KERNEL_PATH = /^boot\/vmlinuz-([\w.+~-]+)$/

async function readKernel(deb: Uint8Array): Promise<KernelFiles> {
  const modules: Promise<PackedModule>[] = []
  let kernel: { release: string, data: Uint8Array } | undefined
  let builtin = new Uint8Array(0)
  const wanted = (path: string): boolean => [MODULE_PATH, BUILTIN_PATH, KERNEL_PATH].some(pattern => pattern.test(path))
  for await (const { path, type, data } of readDeb(deb, 'the kernel\'s package', wanted)) {
    if (type !== 'file') continue
    const release = KERNEL_PATH.exec(path)?.[1]
    if (release !== undefined) kernel = { release, data }
    else if (BUILTIN_PATH.test(path)) builtin = data.slice()
    else modules.push(packModule(MODULE_PATH.exec(path)![1], data))
    // Compression is slower than unpacking: what waits for it is bounded.
    await modules.at(-MODULES_UNDER_WAY)
  }
  if (kernel === undefined) throw incomplete('linux-image-*', 'boot/vmlinuz-*')
  return { kernel: kernel.data, release: kernel.release, modules: await Promise.all(modules), builtin }
}

/** The trees share their upper directories. */
function withoutRepeats(entries: readonly CpioEntry[]): CpioEntry[] {
  return [...new Map(entries.map(entry => [entry.path, entry])).values()]
}

function incomplete(name: string, path: string): Error {
  return hostError('ARCHIVE_FORMAT_INVALID', `the package ${name} has no ${path}: Debian has changed it, update Tenon`)
}
