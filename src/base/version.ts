/**
 * The version of this build: set by the bundler, read from package.json's twin when run from
 * source.
 */
declare const HOLON_VERSION: string | undefined

export const version: string = typeof HOLON_VERSION === 'string' ? HOLON_VERSION : '0.1.0'
