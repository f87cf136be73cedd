import type { PackageIndex, PackageRecord } from './archive/package-index.ts'
import type { BootImage } from './image.ts'

/** How an image is made from a distribution's packages. */
export interface ImageRecipe {
  readonly name: string
  /** Changes whenever the same packages would give another image. */
  readonly id: string
  readonly suite: string
  readonly boot: Pick<BootImage, 'commandLine' | 'minimumMemory'>
  /** Whether a package of the index can be of use to `choose`. */
  readonly wants: (packageName: string) => boolean
  /** The packages to fetch. Throws TenonError ARCHIVE_*. */
  readonly choose: (index: PackageIndex) => readonly PackageRecord[]
  /** Builds from the packages' files by name. Throws TenonError ARCHIVE_FORMAT_INVALID. */
  readonly build: (files: ReadonlyMap<string, Uint8Array>) => Promise<RecipeOutput>
}

export interface RecipeOutput {
  readonly kernel: Uint8Array
  readonly initrd: Uint8Array
  readonly kernelRelease: string
}
