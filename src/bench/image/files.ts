import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Architecture, MachinePlan } from '../machine-plan.ts'
import type { Workload } from '../workloads.ts'
import { buildBenchImage, findFile } from './build.ts'
import type { PackageFolder, WantedPackage } from './packages.ts'

const KERNELS: Readonly<Record<Architecture, string>> = { amd64: 'linux-image-cloud-amd64', i386: 'linux-image-686' }

/** What a guest is booted from. */
export type GuestFiles = Pick<MachinePlan, 'kernel' | 'initrd' | 'firmware'>

export interface WrittenGuests {
  readonly files: ReadonlyMap<Architecture, GuestFiles>
  /** `uname -r` of each. */
  readonly kernels: Readonly<Record<string, string>>
}

export interface GuestParts {
  readonly packages: PackageFolder
  readonly workloads: readonly Workload[]
  /** The program of the loops: only amd64 has them. */
  readonly loops?: Uint8Array
}

/** Makes the images of some architectures and writes them to `folder`. Throws TenonError. */
export async function writeGuests(
  folder: string, architectures: readonly Architecture[], { packages, workloads, loops }: GuestParts,
): Promise<WrittenGuests> {
  const wanted = architectures.flatMap((architecture): WantedPackage[] => [
    { name: KERNELS[architecture], architecture, isKernelMetapackage: true },
    { name: 'busybox-static', architecture },
  ])
  const [firmware, ...debs] = await packages.read([{ name: 'seabios', architecture: architectures[0] }, ...wanted])
  const written = await writeFirmware(folder, firmware)
  const files = new Map<Architecture, GuestFiles>()
  const kernels: Record<string, string> = {}
  for (const [index, architecture] of architectures.entries()) {
    const parts = { kernel: debs[2 * index], busybox: debs[2 * index + 1], ...architecture === 'amd64' && { loops } }
    const image = await buildBenchImage(parts, workloads.filter(({ suite }) => suite === 'shell' || parts.loops !== undefined))
    files.set(architecture, {
      firmware: written,
      kernel: await write(folder, `kernel-${architecture}`, image.kernel),
      initrd: await write(folder, `initrd-${architecture}`, image.initrd),
    })
    kernels[architecture] = image.kernelRelease
  }
  return { files, kernels }
}

/** SeaBIOS, for the target that has no firmware of its own. */
async function writeFirmware(folder: string, deb: Uint8Array): Promise<MachinePlan['firmware']> {
  const { data: bios } = await findFile(deb, 'seabios', /^usr\/share\/seabios\/bios\.bin$/)
  const { data: videoBios } = await findFile(deb, 'seabios', /^usr\/share\/seabios\/vgabios-stdvga\.bin$/)
  return { bios: await write(folder, 'bios.bin', bios), videoBios: await write(folder, 'vgabios.bin', videoBios) }
}

async function write(folder: string, name: string, data: Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, data)
  return path
}
