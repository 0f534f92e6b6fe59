import * as z from 'zod';

/** Of BCP 47, in the form that is used: a language, perhaps with script, region and variants. */
export const languageTag = z
  .string('must be a string')
  .regex(/^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,4}$/, 'must be a language tag such as en-US or vi')
  .refine(isLocale, 'must be a language tag such as en-US or vi');

function isLocale(tag: string): boolean {
  try {
    return new Intl.Locale(tag).language !== '';
  } catch {
    return false;
  }
}
