/** Reading values from outside: fields of JSON objects, each of its type or undefined. */

export type JsonObject = Readonly<Record<string, unknown>>

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function stringField(object: JsonObject, name: string): string | undefined {
  const value = object[name]
  return typeof value === 'string' ? value : undefined
}

export function stringsField(object: JsonObject, name: string): readonly string[] | undefined {
  const value = object[name]
  return Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : undefined
}

export function stringMapField(
  object: JsonObject,
  name: string,
): Readonly<Record<string, string>> | undefined {
  const value = object[name]
  if (!isJsonObject(value)) return undefined
  const plain = Object.values(value).every((each) => typeof each === 'string')
  return plain ? (value as Readonly<Record<string, string>>) : undefined
}
