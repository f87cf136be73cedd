import { mkdir, readFile, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { TenonError } from '../../base/errors.ts'
import { cacheFolder } from '../../host/cache/folder.ts'
import { openHttpClient } from '../../host/download/http-client.ts'
import { DEFAULT_MIRRORS, DebianArchive } from '../../host/images/archive/client.ts'
import { DEBIAN_ARCHIVE_KEYS } from '../../host/images/archive/debian-keys.ts'
import { dependencyNames } from '../../host/images/archive/package-index.ts'
import type { PackageIndex, PackageRecord } from '../../host/images/archive/package-index.ts'
import { showProgress } from './progress.ts'

const SUITE = 'bookworm'

/** A package that the benchmark needs. A kernel is wanted by its metapackage, whose dependency it is: that name never changes. */
export interface WantedPackage {
  readonly name: string
  /** The archive's index to find it in, as Debian names architectures. */
  readonly architecture: string
  readonly isKernelMetapackage?: boolean
}

/**
 * Gives packages: files `NAME_VERSION_ARCHITECTURE.deb` of a folder, such as `apt-get download` leaves there, which are trusted. What
 * is not there is fetched, verified, and kept there, so that further benchmarks are of the same guest.
 */
export class PackageFolder {
  readonly #folder: string

  constructor(folder: string = join(cacheFolder(), 'bench')) {
    this.#folder = folder
  }

  /** The bytes of each package. Throws TenonError. */
  async read(wanted: readonly WantedPackage[]): Promise<Uint8Array[]> {
    await mkdir(this.#folder, { recursive: true }).catch((cause: unknown) => {
      throw new TenonError('BENCH_FOLDER_UNUSABLE', `the folder ${this.#folder} cannot be made: name another with --packages`, { cause })
    })
    const missing: WantedPackage[] = []
    for (const each of wanted) if (await this.#find(each) === undefined) missing.push(each)
    for (const architecture of new Set(missing.map(each => each.architecture))) {
      await this.#fetch(architecture, missing.filter(each => each.architecture === architecture))
    }
    return Promise.all(wanted.map(async each => readFile((await this.#find(each))!)))
  }

  async #find(wanted: WantedPackage): Promise<string | undefined> {
    const pattern = fileNamePattern(wanted)
    const name = (await readdir(this.#folder)).filter(each => pattern.test(each)).toSorted().at(-1)
    return name === undefined ? undefined : join(this.#folder, name)
  }

  async #fetch(architecture: string, wanted: readonly WantedPackage[]): Promise<void> {
    const http = await openHttpClient()
    try {
      const options = {
        http, architecture, mirrors: DEFAULT_MIRRORS, suite: SUITE, trustedKeys: DEBIAN_ARCHIVE_KEYS, folder: this.#folder, progress: showProgress,
      }
      const isWanted = (name: string): boolean => wanted.some(each => each.name === name || (each.isKernelMetapackage && isKernelName(name)))
      const { archive, index } = await DebianArchive.open(options, isWanted)
      for (const each of wanted) {
        const record = index.find(each.isKernelMetapackage ? kernelOf(index, each.name) : each.name)
        await rename(await archive.fetchPackage(record), join(this.#folder, fileName(record)))
      }
    } finally {
      await http.close()
    }
  }
}

/** `all` packages are in every architecture's index, and say so in their file's name. */
export function fileNamePattern({ name, architecture, isKernelMetapackage }: WantedPackage): RegExp {
  const flavour = name.slice('linux-image-'.length)
  return new RegExp(`^${isKernelMetapackage ? `linux-image-\\d[\\d.-]*-${flavour}` : name}_[^_]+_(${architecture}|all)\\.deb$`)
}

function fileName({ filename }: PackageRecord): string {
  return filename.slice(filename.lastIndexOf('/') + 1)
}

function isKernelName(name: string): boolean {
  return /^linux-image-\d/.test(name)
}

function kernelOf(index: PackageIndex, metapackage: string): string {
  const name = dependencyNames(index.find(metapackage).depends).find(isKernelName)
  if (name !== undefined) return name
  throw new TenonError('BENCH_PACKAGE_UNFIT', `the package ${metapackage} depends on no kernel: Debian has changed it, update Tenon`)
}
