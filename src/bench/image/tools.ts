/**
 * The disk with Debian's programs for the suites that need them: fio, iperf3 and nginx, with all that they depend on, as packages bring
 * their files. No script of a package is run, neither here nor in the guest: the programs work without. Kept in the cache; another
 * definition makes another.
 */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { TenonError } from '../../base/errors.ts'
import { cacheFolder } from '../../host/cache/folder.ts'
import { openHttpClient } from '../../host/download/http-client.ts'
import { buildDebianImage } from '../../host/images/debian/build.ts'
import { builtInDefinition } from '../../host/images/debian/definition-file.ts'
import type { ImageDefinition } from '../../host/images/debian/definition.ts'
import { writeImageDisk } from '../../host/images/debian/write-disk.ts'
import { readContent } from '../../host/images/tree/content.ts'
import { showProgress } from './progress.ts'

export interface ToolsImage {
  /** The file of Debian's kernel, whose modules are on the disk. */
  readonly kernel: string
  /** As `uname -r` gives it. */
  readonly kernelRelease: string
  /** A raw disk, one ext4 file system. Never to be written. */
  readonly disk: string
}

const PACKAGES = ['fio', 'iperf3', 'nginx', 'kmod']
const MEBIBYTE = 1024 ** 2
const FILES = { kernel: 'kernel', release: 'release', disk: 'disk.raw' }

/** From the cache, or built. Throws TenonError. */
export async function openTools(folder: string = join(cacheFolder(), 'bench')): Promise<ToolsImage> {
  const definition = await toolsDefinition()
  const name = `tools-${createHash('sha256').update(JSON.stringify(definition)).digest('hex').slice(0, 16)}`
  const home = join(folder, name)
  if (!Object.values(FILES).every(file => existsSync(join(home, file)))) await build(definition, folder, home)
  const kernelRelease = await readFile(join(home, FILES.release), 'utf8')
  return { kernel: join(home, FILES.kernel), kernelRelease, disk: join(home, FILES.disk) }
}

/** Kernel and mirrors are those of `debian:12`. */
async function toolsDefinition(): Promise<ImageDefinition> {
  const { sources, kernel, ...rest } = await builtInDefinition('debian:12')
  const none = { users: [], firstBoot: [], files: [], consoleLogin: undefined }
  return { ...rest, ...none, sources, kernel, name: 'bench:tools', description: '', packages: PACKAGES, disk: { size: 1024 * MEBIBYTE } }
}

/** Aside, and put into place when it is whole: a run that was stopped leaves no half of it. */
async function build(definition: ImageDefinition, folder: string, home: string): Promise<void> {
  const aside = `${home}.${randomUUID()}.tmp`
  await mkdir(aside, { recursive: true }).catch((cause: unknown) => {
    throw new TenonError('BENCH_FOLDER_UNUSABLE', `the folder ${folder} cannot be made: see to the cache's permissions`, { cause })
  })
  try {
    await fill(aside, definition)
    await rm(home, { recursive: true, force: true })
    await rename(aside, home)
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
}

async function fill(folder: string, definition: ImageDefinition): Promise<void> {
  const http = await openHttpClient()
  try {
    const image = await buildDebianImage(definition, { http, cache: cacheFolder(), progress: showProgress })
    try {
      await writeFile(join(folder, FILES.kernel), await readContent(image.kernel))
      await writeFile(join(folder, FILES.release), image.kernelRelease)
      await writeImageDisk(image, join(folder, FILES.disk), { progress: showProgress })
    } finally {
      await image.close()
    }
  } finally {
    await http.close()
  }
}
