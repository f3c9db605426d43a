/* Scratch directories of tests. */
#ifndef PSC_TESTS_UNIT_SUPPORT_DIRECTORY_H
#define PSC_TESTS_UNIT_SUPPORT_DIRECTORY_H

/* With the files in it, which holds no directory. */
void psc_test_remove_directory(const char *directory);

#endif
