import { DEBIAN_IMAGE_NAMES, isDiskImageName } from '../host/images/debian/names.ts'
import { IMAGE_NAMES } from '../host/images/open-image.ts'
import { cliError } from './errors.ts'

export const DEFAULT_IMAGE = 'busybox'

/** Throws TenonError USAGE if it is neither an image's name nor the path of a definition. */
export function checkImage(image: string): void {
  if (IMAGE_NAMES.includes(image) || isDiskImageName(image)) return
  const names = [...IMAGE_NAMES, ...DEBIAN_IMAGE_NAMES, 'the path of a definition, .yaml'].join(', ')
  throw cliError('USAGE', `${JSON.stringify(image)} is no image (there is ${names}); a command goes after --, as in tenon run -- ${image}`)
}
