/* The commands of poolscope that are its own. Each takes argc and argv with its own name in argv[0], as main does, and
 * returns the exit status. */
#ifndef PSC_TOOLS_COMMAND_H
#define PSC_TOOLS_COMMAND_H

int psc_run_main(int argc, char **argv);
int psc_compare_main(int argc, char **argv);
int psc_top_main(int argc, char **argv);

/* How the user called poolscope, for lines that they may type in next. */
const char *psc_command_self(void);

#endif
