import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { CpioEntry } from '../formats/cpio.ts'
import { readModuleInfo } from './module-info.ts'
import type { ModuleInfo } from './module-info.ts'

/** A kernel module, ready for the initramfs. */
export interface PackedModule {
  /** Below the kernel's module folder: `kernel/fs/overlayfs/overlay.ko`. */
  readonly path: string
  readonly info: ModuleInfo
  /** Gzipped: the guest's modprobe unpacks a module when it loads it. */
  readonly zipped: Uint8Array
}

/** Reads what a module's file says about itself, and compresses it (on another thread). */
export async function packModule(path: string, file: Uint8Array): Promise<PackedModule> {
  const info = readModuleInfo(file)
  const zipped = await promisify(gzip)(file)
  // The header names the operating system that compressed (RFC 1952 §2.3.1); 255 is "unknown", the same everywhere.
  zipped[9] = 255
  return { path, info, zipped }
}

/**
 * A folder of kernel modules as `modprobe` wants it: the modules and the tables `modules.dep` and `modules.alias` (modules.dep(5)),
 * which Debian makes only at a package's installation. `folder` is the initramfs's, such as `lib/modules/6.1.0-50-cloud-amd64`.
 */
export function moduleTree(folder: string, modules: readonly PackedModule[], builtin: Uint8Array): CpioEntry[] {
  const sorted = modules.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const infos = new Map(sorted.map(({ path, info }) => [path, info] as const))
  const files = [
    ...sorted.map(({ path, zipped }) => file(`${folder}/${path}.gz`, zipped)),
    file(`${folder}/modules.alias`, utf8(aliasTable(infos))),
    file(`${folder}/modules.builtin`, builtin),
    file(`${folder}/modules.dep`, utf8(dependencyTable(infos))),
  ]
  return [...directoriesOf(files.map(({ path }) => path)), ...files]
}

/** Lines `PATH: DEPENDENCY...`, all dependencies, the one to be loaded first at the end. */
export function dependencyTable(infos: ReadonlyMap<string, ModuleInfo>): string {
  const pathByName = new Map([...infos.keys()].map(path => [moduleName(path), path]))
  const direct = (path: string): string[] => (infos.get(path)?.get('depends') ?? [])
    .flatMap(names => names.split(','))
    .flatMap(name => pathByName.get(name.replaceAll('-', '_')) ?? [])
  const lines = [...infos.keys()].map(path => {
    const loadOrder = new Set<string>()
    visit(path, direct, loadOrder, new Set())
    loadOrder.delete(path)
    return [`${path}.gz:`, ...[...loadOrder].reverse().map(dependency => `${dependency}.gz`)].join(' ')
  })
  return lines.map(line => `${line}\n`).join('')
}

/** Adds `path` after everything it depends on. `seen` ends the circles of a damaged set of modules. */
function visit(path: string, direct: (path: string) => string[], loadOrder: Set<string>, seen: Set<string>): void {
  if (seen.has(path)) return
  seen.add(path)
  direct(path).forEach(dependency => visit(dependency, direct, loadOrder, seen))
  loadOrder.add(path)
}

/** Lines `alias PATTERN NAME`. */
export function aliasTable(infos: ReadonlyMap<string, ModuleInfo>): string {
  const lines = [...infos].flatMap(([path, info]) => (info.get('alias') ?? []).map(alias => `alias ${alias} ${moduleName(path)}\n`))
  return lines.join('')
}

/** As the kernel names it: `virtio_net` for `kernel/drivers/net/virtio_net.ko`. */
function moduleName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1).replace(/\.ko$/, '').replaceAll('-', '_')
}

function directoriesOf(paths: readonly string[]): CpioEntry[] {
  const directories = new Set<string>()
  for (const path of paths) {
    const parts = path.split('/')
    for (let depth = 1; depth < parts.length; depth++) directories.add(parts.slice(0, depth).join('/'))
  }
  return [...directories].sort().map(path => ({ path, kind: 'directory', permissions: 0o755 }))
}

function file(path: string, data: Uint8Array): CpioEntry {
  return { path, kind: 'file', permissions: 0o644, data }
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
