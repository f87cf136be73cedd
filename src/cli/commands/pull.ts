import { isDiskImageName } from '../../host/images/debian/names.ts'
import { ExitStatus } from '../errors.ts'
import { checkImage, DEFAULT_IMAGE } from '../image-names.ts'
import { mirrorOption } from '../options.ts'
import { prepareDiskImage, prepareImage } from '../prepare-image.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'

export interface PullRequest {
  readonly image: string
  readonly mirror?: string
}

export const addPull: AddCommand = (program, line) => {
  program.command('pull')
    .summary('fetch an image\'s newest packages')
    .description('Fetches what an image is made of, as the archive has it now, and builds it.')
    .argument('[image]', 'a name, or the path of a definition (.yaml)', DEFAULT_IMAGE)
    .addOption(mirrorOption())
    .action((image: string, { mirror }: { mirror?: string }) => {
      checkImage(image)
      line.take(task<PullRequest>({ image, mirror }, pull))
    })
}

async function pull({ image, mirror }: PullRequest, surroundings: Surroundings): Promise<number> {
  const options = { mirror, refresh: true }
  await (isDiskImageName(image) ? prepareDiskImage(image, options, surroundings) : prepareImage(image, options, surroundings))
  return ExitStatus.OK
}
