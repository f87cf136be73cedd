/** Names of images that come with Tenon as definitions, and their files in `definitions/`. */
export const BUILT_IN_DEFINITIONS: Readonly<Record<string, string>> = { 'debian:12': 'debian-12.yaml', 'debian:13': 'debian-13.yaml' }

export const DEBIAN_IMAGE_NAMES: readonly string[] = Object.keys(BUILT_IN_DEFINITIONS)

/** Whether an image's name is that of an image on a disk, or the path of a definition of one. */
export function isDiskImageName(name: string): boolean {
  return DEBIAN_IMAGE_NAMES.includes(name) || /\.ya?ml$/.test(name)
}
