import { isImageName } from '../disks/names.ts'

/** Names of images that come with Tenon as definitions, and their files in `definitions/`. */
export const BUILT_IN_DEFINITIONS: Readonly<Record<string, string>> = { 'debian:12': 'debian-12.yaml', 'debian:13': 'debian-13.yaml' }

export const DEBIAN_IMAGE_NAMES: readonly string[] = Object.keys(BUILT_IN_DEFINITIONS)

/** Whether it is the path of a definition. */
export function isDefinitionPath(name: string): boolean { return /\.ya?ml$/.test(name) }

/** Whether a name can be that of an image on a disk (NAME:VERSION), or the path of a definition of one. */
export function isDiskImageName(name: string): boolean {
  return isImageName(name) || isDefinitionPath(name)
}
