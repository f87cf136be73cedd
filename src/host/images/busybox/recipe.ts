import { hostError } from '../../errors.ts'
import { sha256Of } from '../archive/client.ts'
import { dependencyNames } from '../archive/package-index.ts'
import type { PackageIndex, PackageRecord } from '../archive/package-index.ts'
import { writeCpio } from '../formats/cpio.ts'
import type { ImageRecipe } from '../recipe.ts'
import { buildBusyboxImage } from './build.ts'
import { baseFileTree } from './file-tree.ts'

const KERNEL_META_PACKAGE = 'linux-image-cloud-amd64'
const KERNEL_PACKAGE = /^linux-image-[\d.]+-[\w.+-]*cloud-amd64$/
const BUSYBOX_PACKAGE = 'busybox-static'

/** Raised when `build.ts` or `modules.ts` give something else for the same packages. */
const BUILD_REVISION = 1

/** The image `busybox`: Debian 12's cloud kernel with its modules, and static BusyBox, all in memory. */
export function busyboxRecipe(): ImageRecipe {
  return {
    name: 'busybox',
    id: `${BUILD_REVISION}-${sha256Of(writeCpio(baseFileTree())).slice(0, 16)}`,
    suite: 'bookworm',
    boot: { commandLine: '', minimumMemory: 128 * 1024 ** 2 },
    wants: name => name === KERNEL_META_PACKAGE || name === BUSYBOX_PACKAGE || KERNEL_PACKAGE.test(name),
    choose: index => [index.find(currentKernel(index)), index.find(BUSYBOX_PACKAGE)],
    build: files => {
      const [kernelName] = [...files.keys()].filter(name => KERNEL_PACKAGE.test(name))
      return buildBusyboxImage({ kernelPackage: files.get(kernelName)!, busyboxPackage: files.get(BUSYBOX_PACKAGE)! })
    },
  }
}

/** The package that the meta-package depends on now; its name holds the kernel's version. */
function currentKernel(index: PackageIndex): PackageRecord['name'] {
  const name = dependencyNames(index.find(KERNEL_META_PACKAGE).depends).find(dependency => KERNEL_PACKAGE.test(dependency))
  if (name !== undefined) return name
  throw hostError('ARCHIVE_PACKAGE_MISSING', `${KERNEL_META_PACKAGE} depends on no kernel that we know: Debian has changed it, update Tenon`)
}
