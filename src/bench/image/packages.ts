import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { TenonError } from '../../base/errors.ts'

/** Where the benchmark has Debian's packages from. */
export interface PackageSource {
  /** The bytes of a package. Throws TenonError. */
  read(name: string, architecture: string): Promise<Uint8Array>
  /** The bytes of the kernel's package that the metapackage `name` depends on. */
  kernel(name: string, architecture: string): Promise<Uint8Array>
}

/** Packages as files `NAME_VERSION_ARCHITECTURE.deb` in a folder, such as `apt-get download` leaves there. They are trusted. */
export function folderPackages(folder: string): PackageSource {
  const find = async (pattern: RegExp, what: string): Promise<Uint8Array> => {
    const names = await readdir(folder).catch((cause: unknown) => {
      throw new TenonError('BENCH_PACKAGE_MISSING', `the folder ${folder} cannot be read: name another with --packages`, { cause })
    })
    const found = names.filter(name => pattern.test(name)).toSorted().at(-1)
    if (found === undefined) throw new TenonError('BENCH_PACKAGE_MISSING', `${folder} has no package ${what}: put it there (apt-get download)`)
    return readFile(join(folder, found))
  }
  return {
    read: (name, architecture) => find(new RegExp(`^${name}_[^_]+_${architecture}\\.deb$`), `${name} for ${architecture}`),
    // linux-image-cloud-amd64 depends on linux-image-6.1.0-50-cloud-amd64.
    kernel: (name, architecture) => find(new RegExp(`^linux-image-\\d[\\d.-]*-${name.slice('linux-image-'.length)}_[^_]+_${architecture}\\.deb$`),
      `${name}'s kernel for ${architecture}`),
  }
}

export function openPackages(folder: string | undefined): PackageSource {
  if (folder === undefined) throw new TenonError('BENCH_PACKAGE_MISSING', 'name a folder with Debian\'s packages: --packages')
  return folderPackages(folder)
}
