import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { asideOf, sweepAside } from '../../cache/aside.ts'
import { explained } from '../../cache/file-errors.ts'
import type { HttpClient } from '../../download/http-client.ts'
import { hostError } from '../../errors.ts'
import { DebianArchive } from '../archive/client.ts'
import { DEBIAN_ARCHIVE_KEYS } from '../archive/debian-keys.ts'
import { DEBIAN_SECURITY_KEYS } from '../archive/debian-security-keys.ts'
import type { PackageRecord } from '../archive/package-index.ts'
import type { ProgressListener } from '../progress.ts'
import type { FileContent } from '../tree/content.ts'
import { contentOf } from '../tree/content.ts'
import { ContentSpool } from '../tree/content-spool.ts'
import { listTree } from '../tree/entries.ts'
import { FileTree, ROOT_OWNED } from '../tree/file-tree.ts'
import { PRIORITIES } from './archive-package.ts'
import type { ArchivePackage } from './archive-package.ts'
import { Catalogue } from './catalogue.ts'
import type { ImageDefinition, ImageSource } from './definition.ts'
import { writeDpkgDatabase } from './dpkg-database.ts'
import { fetchPackages, readPackage } from './fetch-packages.ts'
import { resolvePackages } from './resolver.ts'
import type { Resolution } from './resolver.ts'
import { mergeUsr, uuidOf, writeSystemFiles } from './system-files.ts'
import { Unpacker } from './unpack.ts'
import type { UnpackedPackage } from './unpack.ts'

/** What a definition gives before a guest has configured it. The same packages and the same definition give the same. */
export interface UnconfiguredImage {
  readonly definition: ImageDefinition
  readonly tree: FileTree
  readonly kernel: FileContent
  /** As `uname -r` gives it. */
  readonly kernelRelease: string
  /** For the file system. */
  readonly uuid: string
  /** For the file system: seconds since 1970, the latest of any file. */
  readonly modified: number
  readonly packages: readonly PackageRecord[]
  /** Removes the contents of the tree's files, which then can no longer be read. */
  close(): Promise<void>
}

export interface BuildOptions {
  readonly http: HttpClient
  /** The cache's folder; packages go to `debian-packages/` in it, and stay there. */
  readonly cache: string
  /** Tried alone, for all sources. */
  readonly mirror?: string
  readonly trustedKeys?: readonly string[]
  readonly progress?: ProgressListener
  readonly signal?: AbortSignal
  readonly retryDelaysMs?: readonly number[]
}

/** Throws TenonError (HostErrorCode), or the signal's reason. */
export async function buildDebianImage(definition: ImageDefinition, options: BuildOptions): Promise<UnconfiguredImage> {
  const { progress = () => {}, signal } = options
  const folder = join(options.cache, 'debian-packages')
  await explained(folder, () => mkdir(folder, { recursive: true }))
  const archives = await connectSources(definition.sources, folder, { ...options, progress })
  const catalogue = await readCatalogue(definition, archives)
  const resolution = resolvePackages(catalogue, wishesOf(definition, catalogue))
  await fetchPackages(resolution.packages, { archives, folder, progress, signal })
  await sweepAside(options.cache)
  const spool = await ContentSpool.open(asideOf(join(options.cache, 'contents')), definition.disk.size)
  try {
    return await assemble(definition, resolution, { folder, spool, mirrors: archives.map(({ mirror }) => mirror), progress, signal })
  } catch (error) {
    await spool.close()
    throw error
  }
}

async function connectSources(
  sources: readonly ImageSource[], folder: string, options: BuildOptions & { readonly progress: ProgressListener },
): Promise<DebianArchive[]> {
  const { http, mirror, trustedKeys = [...DEBIAN_ARCHIVE_KEYS, ...DEBIAN_SECURITY_KEYS], progress, signal, retryDelaysMs } = options
  return Promise.all(sources.map(({ suite, mirrors }) => DebianArchive.connect({
    http, suite, folder, trustedKeys, progress, signal, retryDelaysMs, mirrors: mirror === undefined ? mirrors.map(withoutSlash) : [withoutSlash(mirror)],
  })))
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '')
}

async function readCatalogue({ sources, architecture }: ImageDefinition, archives: readonly DebianArchive[]): Promise<Catalogue> {
  const catalogue = new Catalogue(architecture)
  for (const [index, { components }] of sources.entries()) {
    for (const component of components) await archives[index].readIndex(component, chunks => catalogue.add(chunks, index))
  }
  return catalogue
}

function wishesOf({ base, kernel, packages }: ImageDefinition, catalogue: Catalogue): string[] {
  const priorities = PRIORITIES.slice(0, PRIORITIES.indexOf(base) + 1)
  const own = [...catalogue.packages()].filter(each => each.isEssential || priorities.includes(each.priority)).map(({ name }) => name).sort()
  return [...new Set([...own, ...packages, kernel])]
}

interface AssembleOptions {
  readonly folder: string
  readonly spool: ContentSpool
  readonly mirrors: readonly string[]
  readonly progress: ProgressListener
  readonly signal?: AbortSignal
}

async function assemble(definition: ImageDefinition, resolution: Resolution, options: AssembleOptions): Promise<UnconfiguredImage> {
  const tree = new FileTree()
  mergeUsr(tree)
  const packages = await unpackAll(tree, resolution.packages, options)
  const modified = latestTime(tree)
  setTimes(tree, modified)
  const records = packages.map(each => each.package.record())
  const uuid = uuidOf(JSON.stringify(definition), ...records.map(({ sha256 }) => sha256))
  writeDpkgDatabase(tree, packages, modified)
  writeAptStates(tree, resolution, modified)
  writeSystemFiles(tree, { definition, packages, uuid, mirrors: options.mirrors, modified })
  setTimes(tree, modified)
  return { definition, tree, ...findKernel(tree), uuid, modified, packages: records, close: () => options.spool.close() }
}

/** The package that says what the root and its directories are comes first, the others by name. */
async function unpackAll(tree: FileTree, packages: readonly ArchivePackage[], options: AssembleOptions): Promise<UnpackedPackage[]> {
  const { folder, spool, progress, signal } = options
  const key = ({ name }: ArchivePackage): string => (name === 'base-files' ? '' : name)
  const ordered = [...packages].sort((a, b) => (key(a) < key(b) ? -1 : 1))
  const unpacker = new Unpacker(tree, spool)
  const unpacked: UnpackedPackage[] = []
  for (const [index, each] of ordered.entries()) {
    signal?.throwIfAborted()
    progress({ kind: 'step', name: 'unpacking', done: index, total: ordered.length, what: each.name })
    unpacked.push(await unpacker.unpack(each, await readPackage(folder, each)))
  }
  return unpacked
}

function latestTime(tree: FileTree): number {
  let latest = 0
  for (const { modified } of listTree(tree)) latest = Math.max(latest, modified)
  return latest
}

/** Directories that nobody has described have the time of the image. */
function setTimes(tree: FileTree, modified: number): void {
  const pending = [tree.root]
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    if (directory.modified === 0) directory.modified = modified
    for (const child of directory.children.values()) if (child.kind === 'directory') pending.push(child)
  }
}

/** What nobody asked for by name, `apt autoremove` may take away when nothing needs it any more. */
function writeAptStates(tree: FileTree, { packages, wished }: Resolution, modified: number): void {
  if (!packages.some(({ name }) => name === 'apt')) return
  const automatic = packages.filter(({ name }) => !wished.has(name)).sort((a, b) => (a.name < b.name ? -1 : 1))
  const text = automatic.map(each => `Package: ${each.name}\nArchitecture: amd64\nAuto-Installed: 1\n\n`).join('')
  tree.put('var/lib/apt/extended_states', { ...ROOT_OWNED, permissions: 0o644, modified, kind: 'file', content: contentOf(text) })
}

function findKernel(tree: FileTree): Pick<UnconfiguredImage, 'kernel' | 'kernelRelease'> {
  const found = [...tree.findDirectory('boot')?.children ?? []].flatMap(([name, node]) => (
    node.kind === 'file' && name.startsWith('vmlinuz-') ? [{ kernel: node.content, kernelRelease: name.slice('vmlinuz-'.length) }] : []
  ))
  if (found.length === 1) return found[0]
  throw hostError('IMAGE_DEFINITION_INVALID', `the image's packages bring ${found.length} kernels in /boot: name one package of Debian's as the kernel`)
}
