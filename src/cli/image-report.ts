import type { ImageDetails, ImageSummary } from '../host/images/cached-images.ts'
import { table } from './table.ts'
import { formatSize } from './values.ts'

/** What `tenon image ls` says. */
export function imageTable(images: readonly ImageSummary[]): string[] {
  return table(['NAME', 'ORIGIN', 'DISK', 'ON HOST', 'CREATED', 'KERNEL', 'ID'], images.map(image => [
    image.name, image.origin, image.diskSize === undefined ? '-' : formatSize(image.diskSize), image.isThere ? formatSize(image.occupied) : 'not fetched',
    image.created === undefined ? '-' : day(image.created), image.kernelRelease || '-', image.id || '-',
  ]))
}

/** What `tenon image inspect` says of one. */
export function imageLines(image: ImageDetails, withPackages: boolean): string[] {
  const { name, origin, id, diskSize, occupied, created, kernelRelease, folder, kernelSha256, initrdSha256, commandLine, source, packages } = image
  const fields: [string, string | undefined][] = [
    ['image', name], ['origin', source === undefined ? origin : `${origin} from ${source}`], ['id', id], ['created', created],
    ['disk', diskSize === undefined ? undefined : formatSize(diskSize)], ['on host', `${formatSize(occupied)} in ${folder}`],
    ['kernel', `${!kernelRelease ? 'of a release that is not known' : kernelRelease}, SHA-256 ${kernelSha256}`],
    ['initrd', initrdSha256 === undefined ? undefined : `SHA-256 ${initrdSha256}`], ['boots with', commandLine],
    ['packages', packages.length === 0 ? undefined : `${packages.length}`],
  ]
  const lines = fields.flatMap(([field, value]) => (value === undefined || value === '' ? [] : [`${field.padEnd(12)}${value}`]))
  return withPackages ? [...lines, ...packages.map(each => `  ${each.name} ${each.version}`)] : lines
}

/** `2026-11-28 01:20`, UTC. */
function day(iso: string): string { return iso.slice(0, 16).replace('T', ' ') }
