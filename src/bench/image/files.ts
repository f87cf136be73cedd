import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Architecture, GuestFiles } from '../targets.ts'
import type { Workload } from '../workloads.ts'
import { buildBenchImage, findFile } from './build.ts'
import type { PackageSource } from './packages.ts'

const KERNEL_PACKAGES: Readonly<Record<Architecture, string>> = { amd64: 'linux-image-cloud-amd64', i386: 'linux-image-686' }

/** Makes the images of some architectures and writes them to `folder`. */
export async function writeGuestFiles(
  folder: string, architectures: Iterable<Architecture>, packages: PackageSource, workloads: readonly Workload[],
): Promise<{ files: ReadonlyMap<Architecture, GuestFiles>, kernels: Readonly<Record<string, string>> }> {
  const { bios, videoBios } = await writeFirmware(folder, packages)
  const files = new Map<Architecture, GuestFiles>()
  const kernels: Record<string, string> = {}
  for (const architecture of architectures) {
    const sources = {
      kernel: await packages.kernel(KERNEL_PACKAGES[architecture], architecture),
      busybox: await packages.read('busybox-static', architecture),
    }
    const image = await buildBenchImage(sources, workloads)
    const kernel = join(folder, `kernel-${architecture}`)
    const initrd = join(folder, `initrd-${architecture}`)
    await writeFile(kernel, image.kernel)
    await writeFile(initrd, image.initrd)
    files.set(architecture, { kernel, initrd, bios, videoBios })
    kernels[architecture] = image.kernelRelease
  }
  return { files, kernels }
}

/** SeaBIOS, for the target that has no firmware of its own. */
async function writeFirmware(folder: string, packages: PackageSource): Promise<{ bios: string, videoBios: string }> {
  const deb = await packages.read('seabios', 'all')
  const bios = join(folder, 'bios.bin')
  const videoBios = join(folder, 'vgabios.bin')
  await writeFile(bios, (await findFile(deb, 'seabios', /^usr\/share\/seabios\/bios\.bin$/)).data)
  await writeFile(videoBios, (await findFile(deb, 'seabios', /^usr\/share\/seabios\/vgabios-stdvga\.bin$/)).data)
  return { bios, videoBios }
}
