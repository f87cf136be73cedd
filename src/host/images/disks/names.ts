/** The device of a guest's first disk. */
export const ROOT_DEVICE = '/dev/nvme0n1'
/** For a disk that is one file system. */
export const ROOT_COMMAND_LINE = `root=${ROOT_DEVICE} rw`

const NAME = /^[a-z0-9][a-z0-9._-]*:[a-z0-9][a-z0-9._-]*$/

/** Whether it can be the name of an image on a disk: `NAME:VERSION`. */
export function isImageName(name: string): boolean { return name.length <= 128 && NAME.test(name) }
